// Command thread-lock has the capability it is named after.
package main

import "runtime"

func main() { runtime.LockOSThread() }
