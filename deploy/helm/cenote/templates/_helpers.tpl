{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "cenote.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "cenote.fullname" -}}
{{- $name := include "cenote.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cenote.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* Of a component: dict "root" $ "component" "meta". */}}
{{- define "cenote.selector" -}}
app.kubernetes.io/name: {{ include "cenote.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "cenote.labels" -}}
{{ include "cenote.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: cenote
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Where the metadata service is reached. */}}
{{- define "cenote.endpoint" -}}
{{- printf "%s.%s.svc.%s:%v" (include "cenote.fullname" .) .Release.Namespace
    .Values.clusterDomain .Values.meta.service.port -}}
{{- end -}}

{{/* A number of YAML, as text: helm makes a float of it, and 5e+09 of a large one. */}}
{{- define "cenote.number" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* A length as cenoted writes it (4GiB, 512M, 1048576: all binary), in bytes. */}}
{{- define "cenote.bytes" -}}
{{- $text := include "cenote.number" . -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexFind "[KMGT]" $text -}}
{{- $factors := dict "" 1 "K" 1024 "M" 1048576 "G" 1073741824 "T" 1099511627776 -}}
{{- mul $number (get $factors $unit) -}}
{{- end -}}

{{/* A quantity of Kubernetes (512Mi, 5G, 5000000000), in bytes. */}}
{{- define "cenote.quantity" -}}
{{- $text := include "cenote.number" . -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000
    "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := trimPrefix (toString $number) $text -}}
{{- if not (hasKey $factors $unit) -}}
{{- fail (printf "%s: a whole number of bytes, k, M, G, T, Ki, Mi, Gi or Ti is wanted" $text) -}}
{{- end -}}
{{- mul $number (get $factors $unit) -}}
{{- end -}}

{{/* The sum of the segments. */}}
{{- define "cenote.dram" -}}
{{- $sum := 0 -}}
{{- range .Values.node.dram -}}
{{- $sum = add $sum (include "cenote.bytes" . | int64) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* What the node's process needs beside huge pages, in bytes. */}}
{{- define "cenote.nodeMemory" -}}
{{- $dram := include "cenote.dram" . | int64 -}}
{{- if eq .Values.node.memory.kind "hugepages" -}}{{- $dram = 0 -}}{{- end -}}
{{- add $dram (include "cenote.bytes" .Values.node.memory.overhead | int64) -}}
{{- end -}}

{{/* A configuration file of a list of dicts, of which later ones count: lines of "name = value", sorted
by name. (merge would take false, 0 and "" for nothing.) */}}
{{- define "cenote.config" -}}
{{- $all := dict -}}
{{- range . -}}
{{- range $name, $value := . -}}{{- $_ := set $all $name $value -}}{{- end -}}
{{- end -}}
{{- range $name, $value := $all }}
{{- if kindIs "slice" $value }}
{{ $name }} = {{ join "," $value }}
{{- else }}
{{ $name }} = {{ include "cenote.number" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "cenote.metaConfig" -}}
{{- $v := .Values -}}
{{- $own := dict "roles" "meta" "listen" "0.0.0.0:7400" "http" "0.0.0.0:7480"
    "meta-map-size" $v.meta.storage.mapSize
    "durability" $v.meta.durability "dead" $v.meta.dead "insecure" $v.security.insecure -}}
{{- include "cenote.config" (list $own $v.config $v.meta.config) -}}
{{- end -}}

{{- define "cenote.nodeConfig" -}}
{{- $v := .Values -}}
{{- $kind := $v.node.memory.kind -}}
{{- $own := dict "roles" "node" "meta" (include "cenote.endpoint" .) "data-listen" "0.0.0.0:7401"
    "http" "0.0.0.0:7480" "dram" $v.node.dram
    "insecure" $v.security.insecure
    "rdma" (ternary $v.node.rdma.devices "none" $v.node.rdma.enabled) -}}
{{- if has $kind (list "tmpfs" "hostPath") -}}
{{- $_ := set $own "keep-memory" true -}}
{{- else if eq $kind "hugepages" -}}
{{- $_ := set $own "huge-pages" (ternary "1G" "2M" (eq $v.node.memory.hugePageSize "1Gi")) -}}
{{- end -}}
{{- if $v.node.rdma.enabled -}}{{- $_ := set $own "rdma-listen" "0.0.0.0:7402" -}}{{- end -}}
{{- if $v.node.zone -}}{{- $_ := set $own "zone" $v.node.zone -}}{{- end -}}
{{- include "cenote.config" (list $own $v.config $v.node.config) -}}
{{- end -}}

{{- define "cenote.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.user }}
runAsGroup: {{ .Values.user }}
fsGroup: {{ .Values.user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "cenote.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "cenote.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  {{- toYaml .Values.probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: http}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
{{- end -}}

{{/* What all pods mount, and where it comes from. */}}
{{- define "cenote.mounts" -}}
- {name: config, mountPath: /etc/cenote/conf, readOnly: true}
{{- if .Values.security.secret }}
- {name: secrets, mountPath: /etc/cenote/secrets, readOnly: true}
{{- end }}
{{- end -}}

{{- define "cenote.volumes" -}}
- name: config
  configMap:
    name: {{ include "cenote.fullname" . }}
{{- with .Values.security.secret }}
- name: secrets
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* What doesn't go together, in words. */}}
{{- define "cenote.check" -}}
{{- $n := .Values.node -}}
{{- if not .Values.security.insecure -}}
{{- fail "security.insecure: false needs TLS, which this version doesn't have: cenoted would refuse to start" -}}
{{- end -}}
{{- if and (eq $n.memory.kind "hugepages") $n.dram -}}
{{- $page := include "cenote.bytes" $n.memory.hugePageSize | int64 -}}
{{- range $n.dram -}}
{{- if mod (include "cenote.bytes" . | int64) $page -}}
{{- fail (printf "node.dram: %s is no multiple of huge pages of %s" . $n.memory.hugePageSize) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $n.resources.limits.memory -}}
{{- if lt (include "cenote.quantity" . | int64) (include "cenote.nodeMemory" $ | int64) -}}
{{- fail (printf "node.resources.limits.memory: %s is less than the segments and node.memory.overhead" (include "cenote.number" .)) -}}
{{- end -}}
{{- end -}}
{{- if and $n.shm.enabled (not $n.shm.hostPID) (has $n.memory.kind (list "tmpfs" "hostPath")) -}}
{{- fail "node.shm.hostPID: false needs node.memory.kind anonymous or hugepages: the next process couldn't tell who still writes" -}}
{{- end -}}
{{- if and (eq $n.kind "StatefulSet") (ne (int $n.maxUnavailable) 1) -}}
{{- fail "node.maxUnavailable: a StatefulSet replaces one node at a time" -}}
{{- end -}}
{{- if and (eq $n.kind "DaemonSet") $n.topologySpreadConstraints -}}
{{- fail "node.topologySpreadConstraints: nodes of a DaemonSet are spread by their machines" -}}
{{- end -}}
{{- if lt (include "cenote.quantity" .Values.meta.storage.size | int64) (include "cenote.bytes" .Values.meta.storage.mapSize | int64) -}}
{{- fail "meta.storage.size: the volume is smaller than meta.storage.mapSize" -}}
{{- end -}}
{{- range $which := list "meta" "node" -}}
{{- $budget := get $.Values.podDisruptionBudget $which -}}
{{- if and (not (kindIs "invalid" $budget.minAvailable)) (not (kindIs "invalid" $budget.maxUnavailable)) -}}
{{- fail (printf "podDisruptionBudget.%s: either minAvailable or maxUnavailable, the other null" $which) -}}
{{- end -}}
{{- if and $.Values.podDisruptionBudget.enabled (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable) -}}
{{- fail (printf "podDisruptionBudget.%s: one of minAvailable and maxUnavailable must say how many" $which) -}}
{{- end -}}
{{- range $label, $_ := (get $.Values $which).podLabels -}}
{{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component") -}}
{{- fail (printf "%s.podLabels: %s is the chart's: its selectors go by it" $which $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $where, $config := dict "config" .Values.config "meta.config" .Values.meta.config "node.config" $n.config -}}
{{- range $name := list "node-name" "advertise" "memory-dir" "config" "roles" "listen" "data-listen"
    "rdma-listen" "http" "data-dir" "shm-dir" -}}
{{- if hasKey $config $name -}}
{{- fail (printf "%s: %s is the chart's: ports, probes and volumes go by it" $where $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
