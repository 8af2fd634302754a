// Command grpc has the capability it is named after.
package main

import (
	"google.golang.org/grpc"
)

func main() { grpc.NewServer().Serve(nil) }
