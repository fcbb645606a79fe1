package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

const (
	// progressAtOnce is how many workers are asked at once, progressTimeout how long one may take to answer: those that no network
	// leads to must not hold up the others.
	progressAtOnce  = 16
	progressTimeout = 2 * time.Second
	longestProgress = 4 << 10
)

// ProgressPoller asks the workers of recordings and transcodings how they get on, so that their status says it.
type ProgressPoller struct {
	// Cache reads Pods.
	Cache client.Reader
	// Every is how often each is asked; 0 is never. Each answer is a write of a status.
	Every time.Duration
	HTTP  *http.Client
	// Streams gets those of which there is something to tell.
	Streams chan<- event.GenericEvent

	mu   sync.Mutex
	told map[types.UID]recording.Progress
}

// NeedLeaderElection is true: only the reconciler's replica needs it.
func (*ProgressPoller) NeedLeaderElection() bool { return true }

// Start polls until the context ends. It implements manager.Runnable.
func (p *ProgressPoller) Start(ctx context.Context) error {
	if p.Every <= 0 {
		return nil
	}
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := p.Poll(ctx); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not ask workers for their progress")
		}
	}
}

// Poll asks all workers once.
func (p *ProgressPoller) Poll(ctx context.Context) error {
	var pods corev1.PodList
	if err := p.Cache.List(ctx, &pods, client.MatchingLabels{v1alpha1.LabelStop: v1alpha1.StopBySignal}); err != nil {
		return fmt.Errorf("listing the Pods of workers: %w", err)
	}
	told := map[types.UID]recording.Progress{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	turns := make(chan struct{}, progressAtOnce)
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" || pod.DeletionTimestamp != nil {
			continue
		}
		turns <- struct{}{}
		asking.Go(func() {
			defer func() { <-turns }()
			progress, err := p.ask(ctx, pod.Status.PodIP)
			if err != nil {
				ctrl.LoggerFrom(ctx).V(1).Info("A worker does not tell its progress", "pod", pod.Name, "namespace", pod.Namespace, "reason", err.Error())
				return
			}
			mu.Lock()
			defer mu.Unlock()
			told[pod.UID] = progress
		})
	}
	asking.Wait()
	p.mu.Lock()
	p.told = told
	p.mu.Unlock()
	for i := range pods.Items {
		pod := &pods.Items[i]
		if _, is := told[pod.UID]; !is {
			continue
		}
		stream := &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.LabelLiveStream]}}
		select {
		case <-ctx.Done():
			return nil
		case p.Streams <- event.GenericEvent{Object: stream}:
		}
	}
	return nil
}

func (p *ProgressPoller) ask(ctx context.Context, ip string) (recording.Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(ip, strconv.Itoa(workload.WorkerPort))+recording.ProgressPath, nil)
	if err != nil {
		return recording.Progress{}, fmt.Errorf("asking a worker: %w", err)
	}
	answer, err := p.HTTP.Do(request)
	if err != nil {
		return recording.Progress{}, fmt.Errorf("asking a worker: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return recording.Progress{}, fmt.Errorf("asking a worker: it answers %s", answer.Status)
	}
	var progress recording.Progress
	if err := json.NewDecoder(io.LimitReader(answer.Body, longestProgress)).Decode(&progress); err != nil {
		return recording.Progress{}, fmt.Errorf("reading a worker's progress: %w", err)
	}
	return progress, nil
}

// Of is what the worker in the Pod told last, nil where it told nothing.
func (p *ProgressPoller) Of(pod types.UID) *recording.Progress {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if progress, told := p.told[pod]; told {
		return &progress
	}
	return nil
}
