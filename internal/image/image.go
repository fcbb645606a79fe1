// Package image makes container images without an engine or a registry: an archive that containerd and docker import, of one layer.
//
// Source: https://github.com/moby/docker-image-spec (v1.3) and docker save's manifest.json.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// Image is what goes into an archive. The same Image makes the same bytes.
type Image struct {
	// Name with its tag, such as localhost/worker:test.
	Name       string
	Entrypoint []string
	Env        []string
	// User is numeric, so that Kubernetes can tell that it is not root.
	User string
	// Files are paths within the image, from the root, to files of this machine. Links are followed.
	Files map[string]string
	// Texts are files that are given here, Folders those that anybody may write into.
	Texts   map[string]string
	Folders []string
}

// Write writes the archive.
func (i Image) Write(w io.Writer) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"User": i.User, "Entrypoint": i.Entrypoint, "Env": i.Env, "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		return fmt.Errorf("encoding the image's configuration: %w", err)
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{i.Name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return fmt.Errorf("encoding the image's manifest: %w", err)
	}
	archive := tar.NewWriter(w)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"layer.tar", layer}, {"config.json", config}, {"manifest.json", manifest}} {
		if err := add(archive, f.name, 0o644, bytes.NewReader(f.content), int64(len(f.content))); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}

func (i Image) layer() ([]byte, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	seen := map[string]bool{}
	for _, folder := range i.Folders {
		if err := addFolders(t, strings.Trim(folder, "/"), 0o1777, seen); err != nil {
			return nil, err
		}
	}
	names := make([]string, 0, len(i.Files)+len(i.Texts))
	for name := range i.Files {
		names = append(names, name)
	}
	for name := range i.Texts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		inside := strings.TrimPrefix(name, "/")
		if err := addFolders(t, path.Dir(inside), 0o755, seen); err != nil {
			return nil, err
		}
		if text, given := i.Texts[name]; given {
			if err := add(t, inside, 0o644, strings.NewReader(text), int64(len(text))); err != nil {
				return nil, err
			}
			continue
		}
		if err := addFile(t, inside, i.Files[name]); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, fmt.Errorf("writing a layer: %w", err)
	}
	return b.Bytes(), nil
}

func addFolders(t *tar.Writer, folder string, mode int64, seen map[string]bool) error {
	if folder == "." || folder == "" || seen[folder] {
		return nil
	}
	if err := addFolders(t, path.Dir(folder), 0o755, seen); err != nil {
		return err
	}
	seen[folder] = true
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: mode}); err != nil {
		return fmt.Errorf("adding %s to a layer: %w", folder, err)
	}
	return nil
}

func addFile(t *tar.Writer, name, file string) error {
	f, err := os.Open(file) //nolint:gosec // what the caller puts into the image
	if err != nil {
		return fmt.Errorf("adding %s to a layer: %w", name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("adding %s to a layer: %w", name, err)
	}
	return add(t, name, int64(info.Mode().Perm()), f, info.Size())
}

func add(t *tar.Writer, name string, mode int64, content io.Reader, size int64) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size}); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	if _, err := io.Copy(t, content); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	return nil
}
