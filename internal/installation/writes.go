package installation

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	requestTotal = regexp.MustCompile(`(?m)^apiserver_request_total\{(.*)\} (\S+)$`)
	labelOf      = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// Writes counts the successful writes that only the operator makes, by verb and resource, from the API server's own metrics: of
// LiveStreams and PushDomains, the making and deleting of Jobs, and scaling. The Job controller's own writes are of other kinds.
func (i *Installation) Writes(ctx context.Context) (map[string]int, error) {
	config, err := clientcmd.BuildConfigFromFlags("", i.Cluster.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	text, err := clientset.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of the API server: %w", err)
	}
	total := map[string]int{}
	for _, match := range requestTotal.FindAllStringSubmatch(string(text), -1) {
		labels := map[string]string{}
		for _, l := range labelOf.FindAllStringSubmatch(match[1], -1) {
			labels[l[1]] = l[2]
		}
		if !isOperators(labels) {
			continue
		}
		count, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			return nil, fmt.Errorf("reading a count of the API server: %w", err)
		}
		total[labels["verb"]+" "+labels["resource"]] += int(count)
	}
	return total, nil
}

func isOperators(labels map[string]string) bool {
	ours := labels["group"] == "livestream-operator.io" || labels["subresource"] == "scale"
	ours = ours && slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}, labels["verb"]) ||
		labels["resource"] == "jobs" && labels["subresource"] == "" && (labels["verb"] == "POST" || labels["verb"] == "DELETE")
	// A namespace that goes has all its Jobs deleted at once, which is not the operator's doing.
	return ours && labels["scope"] == "resource" && strings.HasPrefix(labels["code"], "2")
}
