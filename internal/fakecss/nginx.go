package fakecss

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"text/template"
)

// debianModule is where Debian's and Ubuntu's libnginx-mod-rtmp is.
const debianModule = "/usr/lib/nginx/modules/ngx_rtmp_module.so"

// NginxProgram is where the program is: Debian keeps it where only root looks.
func NginxProgram() (string, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		return "", fmt.Errorf("nginx is not installed; on Debian: apt-get install nginx libnginx-mod-rtmp: %w", err)
	}
	return path, nil
}

// Nginx is an ingest and its players' side in one nginx, for one who may not be root: nginx -c FILE -p DIR.
type Nginx struct {
	// Dir takes all that nginx writes. It has to exist.
	Dir string
	// Publish, Play and HTTP are addresses: where publishers connect, where RTMP players do, and where HLS and the control are.
	Publish, Play, HTTP string
	// Hook is the URL of the Server's /ingest.
	Hook string
	// Feeds are those of Options. Without any there is the application live.
	Feeds map[string]string
	// Module is the path of ngx_rtmp_module.so; Debian's when empty. User is needed by root alone.
	Module, User string
}

// Apply sets what a Server has to know of this nginx.
func (n Nginx) Apply(o *Options) {
	o.Feeds, o.Play = n.Feeds, "rtmp://"+n.Play
	if n.HTTP == "" {
		return
	}
	o.Controls = map[string]string{"": "http://" + n.HTTP + "/control"}
	// The second of the servers in the file.
	o.PlayControl, o.PlayServer = o.Controls[""], "1"
}

// PlayApps are the applications that players see, IngestApps those that publishers do.
func (n Nginx) PlayApps() []string {
	apps := slices.Sorted(maps.Values(n.Feeds))
	if len(apps) == 0 {
		return []string{"live"}
	}
	return slices.Compact(apps)
}

// IngestApps have those of other servers left out.
func (n Nginx) IngestApps() []string {
	apps := n.PlayApps()
	for app := range n.Feeds {
		if !strings.Contains(app, "/") {
			apps = append(apps, app)
		}
	}
	slices.Sort(apps)
	return slices.Compact(apps)
}

// ModulePath is Module, or Debian's.
func (n Nginx) ModulePath() string { return or(n.Module, debianModule) }

var nginxTemplate = template.Must(template.New("nginx.conf").Parse(`# mkdir -p {{.Dir}} && nginx -c THIS_FILE -p {{.Dir}}
# publish: rtmp://{{.Publish}}/{{index .PlayApps 0}}/STREAM
# play:    rtmp://{{.Play}}/{{index .PlayApps 0}}/STREAM or http://{{.HTTP}}/{{index .PlayApps 0}}/STREAM.m3u8
load_module {{.ModulePath}};
{{- if .User}}
user {{.User}};
{{- end}}
daemon off;
# Connections, and who is in which stream, are known to one worker only.
worker_processes 1;
pid {{.Dir}}/nginx.pid;
# At info nginx-rtmp writes the arguments of push URLs, which are credentials.
error_log {{.Dir}}/error.log warn;
events { worker_connections 256; }

rtmp {
    access_log off;
    # The ingest. Whom the hook calls the played one is relayed to the second server.
    server {
        listen {{.Publish}};
        notify_method post;
        notify_update_timeout 10s;
{{- range .IngestApps}}
        application {{.}} {
            live on;
            drop_idle_publisher 70s;
            on_publish {{$.Hook}};
            on_publish_done {{$.Hook}};
            on_update {{$.Hook}};
            push_reconnect 1s;
        }
{{- end}}
    }
    # The players' side.
    server {
        listen {{.Play}};
        notify_method post;
{{- range .PlayApps}}
        application {{.}} {
            live on;
            # Players stay while the standby takes over; the hook lets them go after the last push.
            idle_streams on;
            wait_key on;
            allow publish 127.0.0.1;
            deny publish all;
            on_play {{$.Hook}};
            hls on;
            hls_path {{$.Dir}}/hls-{{.}};
            hls_fragment 1s;
            hls_playlist_length 15s;
            hls_continuous on;
        }
{{- end}}
    }
}

http {
    access_log off;
    client_body_temp_path {{.Dir}}/body;
    proxy_temp_path {{.Dir}}/proxy;
    fastcgi_temp_path {{.Dir}}/fastcgi;
    uwsgi_temp_path {{.Dir}}/uwsgi;
    scgi_temp_path {{.Dir}}/scgi;
    types {
        application/vnd.apple.mpegurl m3u8;
        video/mp2t ts;
    }
    server {
        listen {{.HTTP}};
        location /control { rtmp_control all; }
{{- range .PlayApps}}
        location /{{.}}/ {
            alias {{$.Dir}}/hls-{{.}}/;
            add_header Cache-Control no-cache;
        }
{{- end}}
    }
}
`))

// String is the whole configuration.
func (n Nginx) String() string {
	var text strings.Builder
	if err := nginxTemplate.Execute(&text, n); err != nil {
		// The template reads fields and methods of one type.
		panic(err)
	}
	return text.String()
}
