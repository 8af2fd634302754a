// Command net has the capability it is named after.
package main

import "net"

func main() { net.Dial("tcp", "localhost:1") }
