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
func TestEveryTestThatADocumentNamesIsThere(t *testing.T) {
	name := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w+)\(`)
	namedIn, declared := map[string][]string{}, map[string]bool{}
	err := filepath.WalkDir(root(t), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && (entry.Name() == "out" || entry.Name() == ".git" || entry.Name() == "bin") {
			return firstOf(err, fs.SkipDir)
		}
		page, isTest := filepath.Ext(path) == ".md", strings.HasSuffix(path, "_test.go")
		if !page && !isTest {
			return nil
		}
		text, err := os.ReadFile(path)
		if isTest {
			for _, found := range declaration.FindAllStringSubmatch(string(text), -1) {
				declared[found[1]] = true
			}
			return err
		}
		namedIn[entry.Name()] = append(namedIn[entry.Name()], name.FindAllString(string(text), -1)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"threat-model.md", "reliability.md"} {
		if len(namedIn[page]) < 10 {
			t.Errorf("%s names %v only", page, namedIn[page])
		}
	}
	for page, names := range namedIn {
		for _, named := range names {
			if !declared[named] {
				t.Errorf("%s names %s, which is not there", page, named)
			}
		}
	}
}

func TestTheGuideSaysWhatEveryPackageIsFor(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(root(t), "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, parent := range []string{"internal", "test", "cmd"} {
		entries, err := os.ReadDir(filepath.Join(root(t), parent))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			// A folder of packages is named with the package that it has, as internal/provider is.
			if name := parent + "/" + entry.Name(); entry.IsDir() && !strings.Contains(string(guide), "`"+name+"`") && !strings.Contains(string(guide), "`"+name+"/") {
				t.Errorf("CONTRIBUTING.md does not say what %s is for", name)
			}
		}
	}
}

func firstOf(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
