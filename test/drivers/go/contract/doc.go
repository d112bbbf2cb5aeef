// Package contract is what the driver programs in Go share: the lines that they exchange with the test (../../README.md)
// and what all drivers ask, so that all say the same.
package contract
