// Command none prints a line and can do nothing else.
package main

import "os"

func main() { os.Stdout.WriteString("hello\n") }
