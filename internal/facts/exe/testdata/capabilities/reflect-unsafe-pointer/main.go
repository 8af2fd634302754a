// Command reflect-unsafe-pointer has the capability it is named after.
package main

import (
	"os"
	"reflect"
)

func main() { println(reflect.ValueOf(&os.Args).UnsafePointer()) }
