package controllers

import "testing"

// A Job that is quick and whose template says ttlSecondsAfterFinished: 0 is gone before a pass sees it end.
func TestAnAfterEndJobThatIsGoneAlreadyIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show(uploads)
	b.live("show", "A")
	b.over("show", "A")
	b.collect()
	b.settle("show")
	first := b.jobsOf("upload")[0]
	if b.afterEnd("show").JobName != first.Name {
		t.Fatalf("status = %+v, want the name of the Job", b.afterEnd("show"))
	}
	b.complete(&first)
	b.delete(&first)
	b.settle("show")
	if again := b.jobsOf("upload"); len(again) != 0 {
		t.Errorf("it was made a second time: %+v", b.afterEnd("show"))
	}
}
