// Command net-listen has the capability it is named after.
package main

import "net"

func main() { net.Listen("tcp", "localhost:0") }
