// SPDX-License-Identifier: Apache-2.0

// admission asks what kube-apiserver would ask of manifests, by its own code, without the server:
// strict decoding, defaults, and what its registry checks before it stores an object, makes of an
// update, and lets a workload's controller create. Who may do what, quotas, webhooks and addresses
// that are given out are the server's alone.
//
//	admission NEW        all objects of the file are created
//	admission OLD NEW    what is in both files is updated
//
// For each object it prints one line: what becomes of it. Exit status 1: something is refused.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

const namespace = "pool"

type strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

var strategies = map[string]strategy{
	"ConfigMap":             configmap.Strategy,
	"DaemonSet":             daemonset.Strategy,
	"NetworkPolicy":         networkpolicy.Strategy,
	"PersistentVolumeClaim": persistentvolumeclaim.Strategy,
	"Pod":                   pod.Strategy,
	"PodDisruptionBudget":   poddisruptionbudget.Strategy,
	"Service":               service.Strategy,
	"StatefulSet":           statefulset.Strategy,
}

var refused bool

type printer struct{ name string }

func (p printer) AddWarning(_, text string) { fmt.Printf("warning %s: %s\n", p.name, text) }

func say(name, done string, err error) {
	if err == nil {
		fmt.Println(done, name)
		return
	}
	refused = true
	fmt.Printf("refused %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
}

func contextOf(name string) context.Context {
	return warning.WithWarningRecorder(request.WithNamespace(context.Background(), namespace), printer{name})
}

// What the server's storage of services does first of all.
func normalize(object runtime.Object) {
	s, ok := object.(*core.Service)
	if ok && s.Spec.ClusterIP != "" && len(s.Spec.ClusterIPs) == 0 {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
}

func create(kind string, object runtime.Object) error {
	of, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	if of.GetNamespace() == "" {
		of.SetNamespace(namespace)
	}
	rest.FillObjectMetaSystemFields(of)
	err = rest.BeforeCreate(strategies[kind], contextOf(kind+"/"+of.GetName()), object)
	of.SetResourceVersion("1")
	return err
}

func update(kind string, old, object runtime.Object) error {
	of, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	if of.GetNamespace() == "" {
		of.SetNamespace(namespace)
	}
	of.SetResourceVersion("1")
	return rest.BeforeUpdate(strategies[kind], contextOf(kind+"/"+of.GetName()), object, old)
}

// Controllers send what they make to the server, which has defaults for it; v1 is what is sent.
func withDefaults(object, v1 runtime.Object) error {
	if err := legacyscheme.Scheme.Convert(object, v1, nil); err != nil {
		return err
	}
	legacyscheme.Scheme.Default(v1)
	return legacyscheme.Scheme.Convert(v1, object, nil)
}

func submit(name string, object, v1 runtime.Object) {
	err := withDefaults(object, v1)
	if err == nil {
		kind, _, _ := strings.Cut(name, "/")
		err = create(kind, object)
	}
	say(name, "created", err)
}

// The least strict of Kubernetes' standards for pods that a namespace may have.
func levelOf(v1 *corev1.Pod) (string, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		return "", err
	}
	for _, level := range []api.Level{api.LevelRestricted, api.LevelBaseline} {
		results := evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()},
			&v1.ObjectMeta, &v1.Spec)
		if policy.AggregateCheckResults(results).Allowed {
			return string(level), nil
		}
	}
	return string(api.LevelPrivileged), nil
}

// What the controller of a workload asks for: a pod, and the claims that it has.
func children(name string, template core.PodTemplateSpec, claims []core.PersistentVolumeClaim) {
	p := &core.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	p.Name = name + "-0"
	for _, template := range claims {
		claim := template.DeepCopy()
		claim.Name = template.Name + "-" + p.Name
		submit("PersistentVolumeClaim/"+claim.Name, claim, &corev1.PersistentVolumeClaim{})
		p.Spec.Volumes = append(p.Spec.Volumes, core.Volume{Name: template.Name,
			VolumeSource: core.VolumeSource{
				PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name}}})
	}
	var v1 corev1.Pod
	submit("Pod/"+p.Name, p, &v1)
	level, err := levelOf(&v1)
	say("Pod/"+p.Name, "standard "+level, err)
}

func childrenOf(object runtime.Object) {
	switch o := object.(type) {
	case *apps.StatefulSet:
		children(o.Name, o.Spec.Template, o.Spec.VolumeClaimTemplates)
	case *apps.DaemonSet:
		children(o.Name, o.Spec.Template, nil)
	}
}

// Objects by kind and name, with their defaults. Kinds that aren't Kubernetes' own are left out.
func read(path string) (map[string]runtime.Object, []string, error) {
	objects, order := map[string]runtime.Object{}, []string{}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		part, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, order, nil
		}
		if err != nil {
			return nil, nil, err
		}
		var head metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(part, &head); err != nil || head.Kind == "" {
			continue
		}
		name := head.Kind + "/" + head.Name
		if strategies[head.Kind] == nil {
			fmt.Println("unknown", name)
			continue
		}
		object, _, err := decoder.Decode(part, nil, nil)
		if err != nil {
			say(name, "", err)
			continue
		}
		normalize(object)
		objects[name] = object
		order = append(order, name)
	}
}

func run(paths []string) error {
	var before map[string]runtime.Object
	objects, order, err := read(paths[len(paths)-1])
	if err == nil && len(paths) > 1 {
		before, _, err = read(paths[0])
	}
	if err != nil {
		return err
	}
	for _, name := range order {
		kind, _, _ := strings.Cut(name, "/")
		old := before[name]
		if old == nil {
			say(name, "created", create(kind, objects[name]))
		} else if err := create(kind, old); err != nil {
			say(name, "", err)
		} else {
			say(name, "updated", update(kind, old, objects[name]))
		}
		childrenOf(objects[name])
	}
	return nil
}

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: admission [OLD] NEW")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "admission:", err)
		os.Exit(2)
	}
	if refused {
		os.Exit(1)
	}
}
