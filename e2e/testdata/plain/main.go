// Command plain is pure Go.
package main

import "fmt"

func main() { fmt.Println("started") }
