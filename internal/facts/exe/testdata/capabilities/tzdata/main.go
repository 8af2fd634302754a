// Command tzdata has the capability it is named after.
package main

import (
	"time"
	_ "time/tzdata"
)

func main() { time.LoadLocation("Europe/Berlin") }
