// What the tests run as a tenant's workload.
module lessor/tests/kube/tenant

go 1.24.0
