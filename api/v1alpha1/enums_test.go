package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// fieldSchema is the part of a CRD's schema that is looked at.
type fieldSchema struct {
	Enum       []string               `json:"enum"`
	Properties map[string]fieldSchema `json:"properties"`
	Items      *fieldSchema           `json:"items"`
}

// Every field whose type has constants lists exactly those in the CRD, so that neither the marker nor the generated file
// nor the code can be changed alone.
func TestEnumsOfTheCRDsAreTheConstants(t *testing.T) {
	t.Parallel()
	constants := constantsOf(t)
	// A broadcast ends for the reason of its last push, or for one of its own.
	constants["BroadcastEndReason"] = append(constants["BroadcastEndReason"], constants["PushReason"]...)
	found := map[string]int{}
	for file, kind := range map[string]reflect.Type{
		"livestreams": reflect.TypeFor[LiveStream](), "pushdomains": reflect.TypeFor[PushDomain](),
	} {
		walk(kind, schemaOf(t, file), kind.Name(), func(path string, named reflect.Type, s fieldSchema) {
			found[named.Name()]++
			want := slices.Clone(constants[named.Name()])
			got := slices.Clone(s.Enum)
			slices.Sort(want)
			slices.Sort(got)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s (%s): the constants and the CRD differ: %s", path, named.Name(), diff)
			}
		})
	}
	for name := range constants {
		if found[name] == 0 {
			t.Errorf("the type %s has constants and no field of a CRD", name)
		}
	}
}

// walk visits every field whose type is a string type of this package, with the schema of that field.
func walk(kind reflect.Type, s fieldSchema, path string, visit func(string, reflect.Type, fieldSchema)) {
	switch {
	case kind.Kind() == reflect.Pointer:
		walk(kind.Elem(), s, path, visit)
	case kind.Kind() == reflect.Slice && s.Items != nil:
		walk(kind.Elem(), *s.Items, path+"[]", visit)
	case kind.PkgPath() != reflect.TypeFor[LiveStream]().PkgPath():
	case kind.Kind() == reflect.String:
		visit(path, kind, s)
	case kind.Kind() == reflect.Struct:
		for field := range kind.Fields() {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch {
			case options == "inline" && field.Name != "TypeMeta":
				walk(field.Type, s, path, visit)
			case name != "":
				walk(field.Type, s.Properties[name], path+"."+name, visit)
			}
		}
	}
}

// constantsOf are the values of the constants of this package, by the name of their type.
func constantsOf(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			group, ok := declaration.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST || strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, spec := range group.Specs {
				constant := spec.(*ast.ValueSpec)
				typed, ok := constant.Type.(*ast.Ident)
				if !ok {
					continue
				}
				for _, value := range constant.Values {
					text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					values[typed.Name] = append(values[typed.Name], text)
				}
			}
		}
	}
	if len(values) == 0 {
		t.Fatal("the package has no constants")
	}
	return values
}

func TestThePageOfEachKindListsTheValuesOfEveryEnum(t *testing.T) {
	t.Parallel()
	for file, kind := range map[string]reflect.Type{
		"livestream": reflect.TypeFor[LiveStream](), "pushdomain": reflect.TypeFor[PushDomain](),
	} {
		page, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", file+".md"))
		if err != nil {
			t.Fatal(err)
		}
		walk(kind, schemaOf(t, file+"s"), kind.Name(), func(path string, _ reflect.Type, s fieldSchema) {
			row := "| `" + strings.TrimPrefix(path, kind.Name()+".") + "` | `" + strings.Join(s.Enum, "`, `") + "` |"
			if len(s.Enum) > 0 && !strings.Contains(string(page), row) {
				t.Errorf("docs/spec/%s.md lacks the row\n%s", file, row)
			}
		})
	}
}

// schemaOf is the schema of the only version of a kind, by its plural.
func schemaOf(t *testing.T, plural string) fieldSchema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "livestream-operator.io_"+plural+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema fieldSchema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &crd); err != nil || len(crd.Spec.Versions) != 1 {
		t.Fatalf("%s holds no CRD of one version: %v", plural, err)
	}
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}
