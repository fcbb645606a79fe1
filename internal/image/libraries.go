package image

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Libraries are the shared libraries that a program of this machine needs, its loader too, by their paths. Source: ldd(1).
func Libraries(ctx context.Context, program string) ([]string, error) {
	output, err := exec.CommandContext(ctx, "ldd", program).Output() //nolint:gosec // what the caller puts into the image
	if err != nil {
		return nil, fmt.Errorf("asking for the libraries of %s: %w", program, err)
	}
	var libraries []string
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 3 && fields[1] == "=>" && strings.HasPrefix(fields[2], "/"):
			libraries = append(libraries, fields[2])
		case len(fields) >= 1 && strings.HasPrefix(fields[0], "/"):
			libraries = append(libraries, fields[0])
		}
	}
	return libraries, nil
}
