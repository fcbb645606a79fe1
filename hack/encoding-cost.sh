#!/usr/bin/env bash
# Measures what encoding costs: CPU seconds for ten seconds of media, and memory, for several sources and renditions. The numbers of
# internal/ladder and docs/transcoding.md are from here. Needs ffmpeg and GNU time.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
echo "source      renditions                       CPU s of 10 s   memory"
for row in "1920x1080 1080:4500k 720:2500k 480:1200k" "1920x1080 1080:4500k" "1920x1080 720:2500k" "1920x1080 480:1200k" "1920x1080 360:800k" "1280x720 720:2500k"; do
	read -r source renditions <<<"$row"
	file=$dir/$source.ts
	if [ ! -f "$file" ]; then
		# Moving patterns and noise: harder than most shows.
		ffmpeg -v error -f lavfi -i "testsrc2=size=$source:rate=30" -f lavfi -i "cellauto=s=$source:rate=30:rule=18" \
			-filter_complex "[0][1]blend=all_mode=average,noise=alls=20:allf=t" -t 10 -c:v libx264 -preset ultrafast -b:v 6000k "$file"
	fi
	set -- $renditions
	graph="[0:v]split=$#" outputs=()
	for ((i = 0; i < $#; i++)); do graph+="[s$i]"; done
	i=0
	for rendition in "$@"; do
		rate=${rendition#*:}
		graph+=";[s$i]scale=-2:${rendition%%:*}[v$i]"
		outputs+=(-map "[v$i]" -c:v libx264 -preset veryfast -b:v "$rate" -maxrate "$rate" -bufsize "$rate" -g 60 -sc_threshold 0 -f null -)
		i=$((i + 1))
	done
	command time -f "%U %M" -o "$dir/time" ffmpeg -v error -i "$file" -filter_complex "$graph" "${outputs[@]}"
	read -r cpu memory <"$dir/time"
	printf '%-11s %-32s %-15s %s MB\n' "$source" "$renditions" "$cpu" "$((memory / 1000))"
done
