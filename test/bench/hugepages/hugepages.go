// Package hugepages tells whether the kernel gives processes large pages of memory without being asked.
package hugepages

import (
	"os"
	"strings"
)

// Setting is the kernel's, such as always or madvise (Linux, Transparent Hugepage Support); empty where there is none.
func Setting() string {
	text, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		return ""
	}
	return chosen(string(text))
}

// chosen is the one of the settings that is in brackets.
func chosen(settings string) string {
	_, after, _ := strings.Cut(settings, "[")
	setting, _, closed := strings.Cut(after, "]")
	if !closed {
		return ""
	}
	return setting
}
