package policy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A page that names a test that is gone promises what nobody holds.
func TestEveryTestThatTheThreatModelNamesIsThere(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) < 10 {
		t.Fatalf("it names %v only", named)
	}
	missing := map[string]bool{}
	for _, name := range named {
		missing["func "+name+"("] = true
	}
	err = filepath.WalkDir(root(t), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && (entry.Name() == "out" || entry.Name() == ".git" || entry.Name() == "bin") {
			return firstOf(err, fs.SkipDir)
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for declaration := range missing {
			if strings.Contains(string(text), "\n"+declaration) {
				delete(missing, declaration)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for declaration := range missing {
		t.Errorf("there is no %s)", declaration)
	}
}

func firstOf(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
