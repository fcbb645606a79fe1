package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// object is the little that we read of an API object.
type object struct {
	Spec struct {
		Taints []any `json:"taints"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// waitUsable makes the fake nodes and waits for what makes a pod of the namespace default run: nodes that take pods, and the
// service account that the controller manager makes.
func (c *Cluster) waitUsable(ctx context.Context) error {
	for i := range c.state.FakeNodes {
		if err := c.ensureFakeNode(ctx, fakeNodeName(i)); err != nil {
			return err
		}
	}
	for i := range c.state.FakeNodes {
		if err := c.waitFor(ctx, "/api/v1/nodes/"+fakeNodeName(i), takesPods); err != nil {
			return err
		}
	}
	exists := func(object) bool { return true }
	return c.waitFor(ctx, "/api/v1/namespaces/default/serviceaccounts/default", exists)
}

func fakeNodeName(i int) string {
	return fmt.Sprintf("fake-%d", i)
}

func (c *Cluster) ensureFakeNode(ctx context.Context, name string) error {
	node := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Node", "metadata": {"name": %[1]q,
		"annotations": {%[2]q: %[3]q, "node.alpha.kubernetes.io/ttl": "0"},
		"labels": {"type": "kwok", "kubernetes.io/hostname": %[1]q, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}}}`,
		name, fakeNodeAnnotation, fakeNodeValue)
	_, err := c.request(ctx, http.MethodPost, c.Server()+"/api/v1/nodes", strings.NewReader(node))
	var answer *answerError
	if errors.As(err, &answer) && answer.code == http.StatusConflict {
		return nil
	}
	if err != nil {
		return fmt.Errorf("making the fake node %s: %w", name, err)
	}
	return nil
}

// waitFor waits until the object exists and is as it should be.
func (c *Cluster) waitFor(ctx context.Context, path string, isGood func(object) bool) error {
	var last error
	err := poll(ctx, func() (bool, error) {
		var text []byte
		if text, last = c.request(ctx, http.MethodGet, c.Server()+path, nil); last != nil {
			return false, nil //nolint:nilerr // asked again until the time is up, then told
		}
		var found object
		if err := json.Unmarshal(text, &found); err != nil {
			return false, fmt.Errorf("decoding %s: %w", path, err)
		}
		if !isGood(found) {
			last = fmt.Errorf("it is %s", text)
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", path, errors.Join(err, last))
	}
	return nil
}

// takesPods says whether the scheduler may place pods on the node.
func takesPods(node object) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return len(node.Spec.Taints) == 0
		}
	}
	return false
}
