// Package bench tests the benchmark gate on changes of public modules of which
// their release notes say that they made something slower or faster.
package bench
