// Command plugin has the capability it is named after.
package main

import "plugin"

func main() { plugin.Open("x.so") }
