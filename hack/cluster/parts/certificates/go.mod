module kcloud-autoscale/parts/certificates

go 1.26.0
