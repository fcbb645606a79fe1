package recording

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Folder is where everything of a broadcast goes, before the storage's own prefix; escape makes a name safe for a key.
func Folder(c Config, escape func(string) string) string {
	folder := fmt.Sprintf("%s/%s/%s-%s", escape(c.App), escape(c.Stream), c.Started.UTC().Format("20060102T150405Z"), c.Broadcast)
	if prefix := strings.Trim(c.Storage.Prefix, "/"); prefix != "" {
		return prefix + "/" + folder
	}
	return folder
}

// Keys within the folder.
const (
	PartsFolder  = "parts/"
	ManifestName = "manifest.json"
	// LadderFolder holds a folder like that of a recording for each rendition, MasterName that names their playlists, and LadderName,
	// which tells the next worker what the renditions are.
	LadderFolder = "ladder/"
	MasterName   = "master.m3u8"
	LadderName   = "ladder.json"
	// PulledName tells the next worker which segments of a playlist were pulled.
	PulledName = "pulled.json"
)

// FileName of the recording itself.
func FileName(f Format) string { return "recording" + f.Extension() }

// Manifest lists what a recording is made of.
type Manifest struct {
	App       string    `json:"app"`
	Stream    string    `json:"stream"`
	Broadcast string    `json:"broadcast"`
	Started   time.Time `json:"started"`
	Recording string    `json:"recording"`
	SHA256    string    `json:"sha256,omitempty"`
	SizeBytes int64     `json:"sizeBytes"`
	Seconds   float64   `json:"durationSeconds"`
	// Complete says that the broadcast is over.
	Complete bool           `json:"complete"`
	Parts    []ManifestPart `json:"parts"`
	Gaps     []ManifestGap  `json:"gaps"`
}

// ManifestPart is a part in a manifest.
type ManifestPart struct {
	Name    string    `json:"name"`
	Start   time.Time `json:"start"`
	Seconds float64   `json:"durationSeconds"`
	Size    int64     `json:"sizeBytes"`
}

// ManifestGap is a gap in a manifest.
type ManifestGap struct {
	At      float64 `json:"atSeconds"`
	Seconds float64 `json:"lengthSeconds"`
}

// NewManifest describes sorted parts.
func NewManifest(c Config, parts []Part) Manifest {
	m := Manifest{
		App: c.App, Stream: c.Stream, Broadcast: c.Broadcast, Started: c.Started.UTC(), Recording: FileName(c.Format),
		Seconds: seconds(Duration(parts)), Parts: []ManifestPart{}, Gaps: []ManifestGap{},
	}
	for _, p := range parts {
		m.Parts = append(m.Parts, ManifestPart{Name: p.Name(), Start: p.Start, Seconds: seconds(p.Duration), Size: p.Size})
	}
	for _, g := range Gaps(parts) {
		m.Gaps = append(m.Gaps, ManifestGap{At: seconds(g.At), Seconds: seconds(g.Length)})
	}
	return m
}

// NeedsParts says whether the recording is a playlist of its parts.
func (m Manifest) NeedsParts() bool { return m.Recording == FileName(HLS) }

// Compare tells the parts that the recording holds from those that came late, and whether all that it holds are among them. A segment
// that was stored once more, under another name, is held.
func (m Manifest) Compare(parts []Part) (held, late []Part, whole bool) {
	names, sources := map[string]bool{}, map[Segment]bool{}
	for _, listed := range m.Parts {
		names[listed.Name] = true
		if p, is := ParsePart(listed.Name); is && p.Source != (Segment{}) {
			sources[p.Source] = true
		}
	}
	left := len(names)
	for _, p := range parts {
		switch {
		case names[p.Name()]:
			held = append(held, p)
			left--
		case sources[p.Source]:
			held = append(held, p)
		default:
			late = append(late, p)
		}
	}
	return held, late, left == 0
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// Playlist is the recording in HLS: its parts as they are, with a discontinuity where a run ends.
// Source: RFC 8216, 4.3.
func Playlist(parts []Part) string {
	var b strings.Builder
	head(&b, parts)
	b.WriteString("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n")
	segments(&b, parts)
	b.WriteString("#EXT-X-ENDLIST\n")
	return b.String()
}

// LivePlaylist is that of the last parts of a broadcast that is on air.
func LivePlaylist(parts []Part, length time.Duration) string {
	from := len(parts)
	for sum := time.Duration(0); from > 0 && sum < length; from-- {
		sum += parts[from-1].Duration
	}
	discontinuities := len(Runs(parts)) - len(Runs(parts[from:]))
	var b strings.Builder
	head(&b, parts[from:])
	fmt.Fprintf(&b, "#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", from, discontinuities)
	segments(&b, parts[from:])
	return b.String()
}

func head(b *strings.Builder, parts []Part) {
	longest := time.Second
	for _, p := range parts {
		longest = max(longest, p.Duration)
	}
	fmt.Fprintf(b, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:%d\n", int(math.Ceil(longest.Seconds())))
}

func segments(b *strings.Builder, parts []Part) {
	for i, run := range Runs(parts) {
		if i > 0 {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		fmt.Fprintf(b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", run[0].Start.UTC().Format("2006-01-02T15:04:05.000Z"))
		for _, p := range run {
			fmt.Fprintf(b, "#EXTINF:%.3f,\n%s\n", seconds(p.Duration), PartsFolder+p.Name())
		}
	}
}
