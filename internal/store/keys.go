package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
)

const (
	// longestKey is what S3 takes, in bytes.
	longestKey = 1024
	// longestName leaves room, in the 255 bytes that file systems take, for the files that Dir keeps beside an object.
	longestName = 240
	// longestClean is what CleanKey makes: two of them and a prefix are far from longestKey.
	longestClean = 200

	// sidePrefix and partialPrefix begin the names of the files that Dir keeps beside its objects. Keys have none such.
	sidePrefix, partialPrefix = ".sha256-", ".partial-"
)

// CleanKey makes one path element of any name; different names stay different.
//
// Letters of ASCII, digits, '-', '_' and '.' stay. All other bytes, and a '.' at the beginning or the end, become '=' and two hex digits,
// '=' too; no name at all becomes "=". What would be longer than 200 bytes is cut, and "=-" and the SHA-256 of the whole name, in hex,
// follow, which no other name gives: nothing is shortened to the same.
//
// Names that differ in case alone are different keys, which a volume that ignores case (SMB) does not keep apart.
func CleanKey(name string) string {
	if name == "" {
		return "="
	}
	digest := sha256.Sum256([]byte(name))
	end := "=-" + hex.EncodeToString(digest[:])
	var b strings.Builder
	cut := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0 && i < len(name)-1:
			b.WriteByte(c)
		default:
			_, _ = fmt.Fprintf(&b, "=%02x", c)
		}
		if b.Len() <= longestClean-len(end) {
			cut = b.Len()
		}
	}
	if b.Len() > longestClean {
		return b.String()[:cut] + end
	}
	return b.String()
}

// Join makes a key of any names, each of which becomes one element of it.
func Join(names ...string) string {
	clean := make([]string, len(names))
	for i, name := range names {
		clean[i] = CleanKey(name)
	}
	return strings.Join(clean, "/")
}

// checkKey refuses what not every store can keep, or what leads out of one.
func checkKey(key string) error {
	if !fs.ValidPath(key) || key == "." || len(key) > longestKey {
		return fmt.Errorf("%w: %q", ErrKey, key)
	}
	for name := range strings.SplitSeq(key, "/") {
		if len(name) > longestName || reserved(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%w: %q", ErrKey, key)
		}
	}
	return nil
}

// checkPrefix refuses what no key begins with: it is a key, or nothing, or ends with /, or in the middle of a name.
func checkPrefix(prefix string) error {
	if prefix == "" || checkKey(prefix+"x") == nil {
		return nil
	}
	return fmt.Errorf("%w: %q as a prefix", ErrKey, prefix)
}

func reserved(name string) bool {
	return strings.HasPrefix(name, sidePrefix) || strings.HasPrefix(name, partialPrefix)
}
