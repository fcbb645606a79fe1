{{- /* A table of all fields of the kind that the template value "kind" names; a field of a field has its whole path. */ -}}
{{- define "gvList" -}}
{{- range . }}{{ range .SortedTypes }}{{ if eq .Name (markdownTemplateValue "kind") -}}
| field | type | meaning |
| --- | --- | --- |
{{ template "fields" dict "prefix" "" "type" . }}
{{- end }}{{ end }}{{ end }}
{{- end -}}

{{- define "fields" -}}
{{- $prefix := .prefix -}}
{{- range .type.Members -}}
{{- if not (and (eq $prefix "") (has .Name (list "metadata" "apiVersion" "kind"))) -}}
{{- $path := printf "%s%s" $prefix .Name -}}
{{- $type := toString .Type -}}
{{- $list := hasPrefix "[]" $type -}}
{{- /* The marker's values: a type may take the constants of another one too. */ -}}
{{- $enum := "" -}}
{{- range .Type.Validation }}{{ if hasPrefix "Enum: [" . }}{{ $enum = trimSuffix "]" (trimPrefix "Enum: [" .) }}{{ end }}{{ end -}}
| `{{ $path }}{{ if $list }}[]{{ end }}` | {{ if $enum }}`{{ replace " " "`, `" $enum }}`{{ else }}{{ regexFind "[A-Za-z0-9]+$" $type }}{{ end }} | {{ regexReplaceAll "(<br />)+" (toString (markdownRenderFieldDoc .Doc)) " " }} |
{{ if contains "livestream-operator" $type }}{{ template "fields" dict "prefix" (printf "%s%s." $path (ternary "[]" "" $list)) "type" .Type }}{{ end }}
{{- end }}{{ end }}
{{- end -}}
