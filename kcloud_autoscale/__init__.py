"""Forecasts accelerator demand and sets replicas at the least money and energy, under hard caps."""
