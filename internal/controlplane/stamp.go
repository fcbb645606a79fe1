package controlplane

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// stampOf is a digest of all that the components binary is made of: its module's go.mod, go.sum and sources, the build flags
// and the platform. The modules that it needs are in go.sum, so they count too.
func stampOf(sources string) (string, error) {
	files, err := filepath.Glob(filepath.Join(sources, "*.go"))
	if err != nil {
		return "", fmt.Errorf("listing the sources in %s: %w", sources, err)
	}
	files = append(files, filepath.Join(sources, "go.mod"), filepath.Join(sources, "go.sum"))
	slices.Sort(files)
	digest := sha256.New()
	_, _ = fmt.Fprintln(digest, runtime.GOOS, runtime.GOARCH, strings.Join(buildArguments(), " "))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("reading the sources of the components: %w", err)
		}
		_, _ = fmt.Fprintf(digest, "%s %d\n%s", filepath.Base(file), len(text), text)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// isFresh says whether the binary in bin is there and made of what stamp stands for.
func isFresh(bin, stamp string) bool {
	have, err := os.ReadFile(filepath.Join(bin, stampName))
	if err != nil || strings.TrimSpace(string(have)) != stamp {
		return false
	}
	info, err := os.Stat(filepath.Join(bin, binaryName))
	return err == nil && info.Mode().IsRegular()
}
