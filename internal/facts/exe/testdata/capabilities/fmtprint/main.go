// Command fmtprint is what most programs have in common.
package main

import "fmt"

func main() { fmt.Println("hello") }
