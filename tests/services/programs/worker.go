// SPDX-License-Identifier: MIT

// A line server: "N" in, a number out that only the whole computation gives (see ../service.py).
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

//go:noinline
func step(x uint32) uint32 {
	x = x*69069 + 1
	return x ^ x>>13
}

//go:noinline
func crunch(n uint32) uint32 {
	x := n
	for i := uint32(0); i < n; i++ {
		x = x*69069 + 1
		x ^= x >> 13
	}
	return x
}

//go:noinline
func tally(n uint32) uint32 {
	counts := map[uint32]uint32{}
	x := n
	for i := uint32(0); i < n; i++ {
		x = step(x)
		counts[x%1000]++
	}
	sum := uint32(0)
	for key, count := range counts {
		sum += key * count
	}
	return sum
}

func serve(client net.Conn) {
	defer client.Close()
	lines := bufio.NewScanner(client)
	for lines.Scan() {
		n, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 32)
		if err != nil {
			return
		}
		fmt.Fprintf(client, "%d\n", crunch(8*uint32(n))^tally(uint32(n)))
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(client)
	}
}
