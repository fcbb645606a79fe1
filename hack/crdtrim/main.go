// Command crdtrim takes the descriptions of Kubernetes' own Job template out of a generated CustomResourceDefinition.
//
// With them the LiveStream CRD is over 262144 bytes, and `kubectl apply` refuses it: it keeps a copy in an annotation. What
// they say, `kubectl explain job.spec` says. Types, bounds and rules stay as they are.
//
// Usage: crdtrim FILE PROPERTY, where PROPERTY is the name of the property whose schema loses its descriptions.
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: crdtrim FILE PROPERTY")
		os.Exit(2)
	}
	if err := trim(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "crdtrim:", err)
		os.Exit(1)
	}
}

func trim(file, property string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the CRD: %w", err)
	}
	var crd map[string]any
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return fmt.Errorf("decoding %s: %w", file, err)
	}
	if !trimProperty(crd, property) {
		return fmt.Errorf("%s has no property %q", file, property)
	}
	trimmed, err := yaml.Marshal(crd)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	return os.WriteFile(file, append([]byte("---\n"), trimmed...), 0o644)
}

// trimProperty looks for the property in every schema below node and says whether it found one.
func trimProperty(node any, property string) bool {
	found := false
	switch node := node.(type) {
	case map[string]any:
		if properties, ok := node["properties"].(map[string]any); ok {
			if schema, ok := properties[property].(map[string]any); ok {
				for _, below := range schema {
					dropDescriptions(below)
				}
				found = true
			}
		}
		for _, below := range node {
			found = trimProperty(below, property) || found
		}
	case []any:
		for _, below := range node {
			found = trimProperty(below, property) || found
		}
	}
	return found
}

func dropDescriptions(node any) {
	switch node := node.(type) {
	case map[string]any:
		if _, isText := node["description"].(string); isText {
			delete(node, "description")
		}
		for _, below := range node {
			dropDescriptions(below)
		}
	case []any:
		for _, below := range node {
			dropDescriptions(below)
		}
	}
}
