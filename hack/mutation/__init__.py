"""Small faults put into the core one at a time: which of them does no unit test notice?"""
