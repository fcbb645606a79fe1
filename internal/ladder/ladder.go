// Package ladder says which renditions are made of a source, what they cost, and how players find them. It is pure.
package ladder

import (
	"fmt"
	"slices"
	"strings"
)

// Codec of the video of a rendition.
type Codec string

// The codecs, as spec.transcoding names them.
const (
	H264 Codec = "H264"
	H265 Codec = "H265"
)

// Rendition is one size of a stream.
type Rendition struct {
	Name string `json:"name"`
	// Width and Height of the picture in pixels, both even. Width is 0 until the source is known.
	Width  int `json:"width,omitempty"`
	Height int `json:"height"`
	// VideoKbps and AudioKbps are bitrates in kbit/s.
	VideoKbps int   `json:"videoKbps"`
	AudioKbps int   `json:"audioKbps"`
	Codec     Codec `json:"codec"`
	// FrameRate is how many frames a second there are at most, 0 for all of the source.
	FrameRate int `json:"frameRate,omitempty"`
}

// Source is what is known of a stream; zeros are unknown.
type Source struct {
	Width, Height int
	FrameRate     float64
	Video, Audio  bool
}

// Choose leaves out what is higher than the source. Where that is everything, the lowest one is made in the size of the source.
func Choose(renditions []Rendition, source Source) []Rendition {
	if len(renditions) == 0 || source.Height <= 0 {
		return slices.Clone(renditions)
	}
	var chosen []Rendition
	for _, r := range renditions {
		if r.Height <= source.Height {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		lowest := slices.MinFunc(renditions, func(a, b Rendition) int { return a.Height - b.Height })
		lowest.Height = even(float64(source.Height))
		chosen = []Rendition{lowest}
	}
	for i := range chosen {
		chosen[i].Width = even(float64(source.Width) * float64(chosen[i].Height) / float64(source.Height))
	}
	return chosen
}

// even rounds as ffmpeg's scale filter does with -2, downwards for what the encoders take.
func even(pixels float64) int { return max(2, int(pixels/2+0.5)*2) }

// Playlist is the media playlist of a rendition in the folder of the ladder.
func Playlist(name string) string { return name + "/recording.m3u8" }

// peakPercent of a bitrate is what the transport stream makes of its peaks.
const peakPercent = 115

// Master is the playlist that names those of all renditions, the highest bitrate first: what plays the first one that it finds plays
// the best one.
// Source: RFC 8216, 4.3.4.2.
func Master(renditions []Rendition) string {
	sorted := slices.Clone(renditions)
	slices.SortStableFunc(sorted, func(a, b Rendition) int { return b.bitrate() - a.bitrate() })
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n")
	for _, r := range sorted {
		fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,AVERAGE-BANDWIDTH=%d", r.bitrate()*peakPercent/100, r.bitrate())
		if r.Width > 0 {
			fmt.Fprintf(&b, ",RESOLUTION=%dx%d", r.Width, r.Height)
		}
		fmt.Fprintf(&b, "\n%s\n", Playlist(r.Name))
	}
	return b.String()
}

func (r Rendition) bitrate() int { return 1000 * (r.VideoKbps + r.AudioKbps) }

// Cost is what transcoding needs.
type Cost struct {
	// MilliCPU in thousandths of a core, Memory in bytes.
	MilliCPU, Memory int64
}

// What a core does, measured with hack/encoding-cost.sh: x264 in its preset veryfast. See docs/transcoding.md.
const (
	baseCPU, basePerRung   = 50, 60  // thousandths of a core
	decodeCPU, encodeCPU   = 2.0, 12 // thousandths of a core for a million pixels a second
	hevcTimes, gpuPerRung  = 4, 100
	baseMemory             = 96 << 20
	sourceBytes, rungBytes = 20, 120 // bytes of memory for a pixel
	usualRate              = 30
)

// Estimate is the cost of the renditions that are made of the source, at 30 frames a second where nothing else is said; of all of them
// where its size is not known. gpu says that a GPU encodes.
func Estimate(renditions []Rendition, source Source, gpu bool) Cost {
	if source.Height <= 0 || source.Width <= 0 {
		for _, r := range renditions {
			source.Height = max(source.Height, r.Height)
		}
		source.Width = even(float64(source.Height) * 16 / 9)
	}
	rate := source.FrameRate
	if rate <= 0 {
		rate = usualRate
	}
	area := float64(source.Width * source.Height)
	cost := Cost{MilliCPU: baseCPU + int64(decodeCPU*area*rate/1e6), Memory: baseMemory + int64(sourceBytes*area)}
	for _, r := range Choose(renditions, source) {
		times, encoded := 1.0, float64(r.Width*r.Height)
		if r.Codec == H265 {
			times = hevcTimes
		}
		frames := rate
		if r.FrameRate > 0 {
			frames = min(frames, float64(r.FrameRate))
		}
		if gpu {
			cost.MilliCPU += gpuPerRung
		} else {
			cost.MilliCPU += basePerRung + int64(times*encodeCPU*encoded*frames/1e6)
		}
		cost.Memory += int64(times * rungBytes * encoded)
	}
	return cost
}
