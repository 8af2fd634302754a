// Command timezone has the capability it is named after.
package main

import "time"

func main() { time.LoadLocation("Europe/Berlin") }
