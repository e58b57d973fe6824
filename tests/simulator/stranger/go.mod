module sharedvip.dev/stranger

go 1.13

// The SDK that AKO 1.5 was built with; the module proxy has no later version with a checksum.
require github.com/vmware/alb-sdk v0.0.0-20210721142023-8e96475b833b
