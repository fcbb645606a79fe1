// Command resident measures what a machine asks of a process for the memory that it has, used or not: the CPU, in a second, of one that wakes six times and does nothing,
// with little memory and with much. On one machine of ours, virtual without the processor's help, small pages cost so much that they were most of what an operator
// of 100,000 streams took at rest.
package main

import (
	"fmt"
	"log"
	"os"
	"syscall"
	"time"

	"github.com/livestream-operator/livestream-operator/test/bench/hugepages"
)

const (
	settling, measured = 5 * time.Second, 30 * time.Second
	// As the queues of three controllers do.
	wakers, wakeEvery = 3, 500 * time.Millisecond
)

func main() {
	log.SetFlags(0)
	fmt.Println("transparent huge pages:", hugepages.Setting())
	for range wakers {
		go wake()
	}
	for _, mebibytes := range []int{1, 100, 600, 1200} {
		spent, err := restWith(mebibytes << 20)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%5d MiB resident: %.2f ms of CPU in a second\n", mebibytes, spent)
	}
}

func wake() {
	for range time.Tick(wakeEvery) {
	}
}

// restWith is how many milliseconds of CPU this process takes in a second in which it only wakes, with so many bytes of memory each page of which was written to once.
func restWith(bytes int) (float64, error) {
	memory, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return 0, fmt.Errorf("taking %d bytes of memory: %w", bytes, err)
	}
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	time.Sleep(settling)
	before, err := spent()
	if err != nil {
		return 0, err
	}
	// Time that passes is what is measured here.
	time.Sleep(measured)
	after, err := spent()
	if err != nil {
		return 0, err
	}
	if err := syscall.Munmap(memory); err != nil {
		return 0, fmt.Errorf("giving memory back: %w", err)
	}
	return float64(after-before) / float64(time.Millisecond) / measured.Seconds(), nil
}

// spent is what this process has run so far.
func spent() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("asking for the time of this process: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
