package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// healthTests is a health_test.yaml.
type healthTests struct {
	Tests []struct {
		InputPath    string              `json:"inputPath"`
		HealthStatus health.HealthStatus `json:"healthStatus"`
	} `json:"tests"`
}

// actionTests is an action_test.yaml.
type actionTests struct {
	DiscoveryTests []struct {
		InputPath string                    `json:"inputPath"`
		Result    []v1alpha1.ResourceAction `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

// verdict is the outcome of one test case, printed as a line of JSON.
type verdict struct {
	Case  string `json:"case"`
	Error string `json:"error,omitempty"`
}

// newRules makes the command that runs the cases of a folder in Argo CD's layout against the rules of argocd-cm.
func newRules() *cobra.Command {
	var config string
	command := &cobra.Command{
		Use:          "argocd-rules FOLDER --config ARGOCD_CM",
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		RunE: func(_ *cobra.Command, args []string) error {
			overrides, err := readOverrides(config)
			if err != nil {
				return err
			}
			vm := lua.VM{ResourceOverrides: overrides}
			return runFolder(vm, args[0])
		},
	}
	command.Flags().StringVar(&config, "config", "", "ConfigMap whose data goes into argocd-cm")
	return command
}

// readOverrides reads the keys resource.customizations.KIND.GROUP_KIND as argocd-cm has them.
func readOverrides(path string) (map[string]v1alpha1.ResourceOverride, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	overrides := map[string]v1alpha1.ResourceOverride{}
	for key, value := range config.Data {
		rest, ok := strings.CutPrefix(key, "resource.customizations.")
		if !ok {
			return nil, fmt.Errorf("%s is no rule", key)
		}
		kind, of, ok := strings.Cut(rest, ".")
		if !ok {
			return nil, fmt.Errorf("%s names no kind", key)
		}
		of = strings.Replace(of, "_", "/", 1)
		override := overrides[of]
		switch kind {
		case "health":
			override.HealthLua = value
		case "actions":
			override.Actions = value
		default:
			return nil, fmt.Errorf("%s: %s is neither health nor actions", key, kind)
		}
		overrides[of] = override
	}
	return overrides, nil
}

// runFolder runs every case below folder and fails when one did not hold, or when there was none.
func runFolder(vm lua.VM, folder string) error {
	var verdicts []verdict
	tell := func(name string, err error) {
		one := verdict{Case: name}
		if err != nil {
			one.Error = err.Error()
		}
		verdicts = append(verdicts, one)
	}
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		within, _ := filepath.Rel(folder, filepath.Dir(path))
		switch filepath.Base(path) {
		case "health_test.yaml":
			return runHealth(vm, path, within, tell)
		case "action_test.yaml":
			return runActions(vm, path, within, tell)
		}
		return nil
	})
	if err != nil {
		return err
	}
	failed := 0
	for _, one := range verdicts {
		line, err := json.Marshal(one)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
		if one.Error != "" {
			failed++
		}
	}
	if failed > 0 || len(verdicts) == 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(verdicts))
	}
	return nil
}

func runHealth(vm lua.VM, path, within string, tell func(string, error)) error {
	var tests healthTests
	if err := read(path, &tests); err != nil {
		return err
	}
	overrides := lua.ResourceHealthOverrides(vm.ResourceOverrides)
	for _, test := range tests.Tests {
		object, err := readObject(filepath.Join(filepath.Dir(path), test.InputPath))
		if err != nil {
			return err
		}
		found, err := health.GetResourceHealth(object, overrides)
		if err == nil && found == nil {
			err = errors.New("no rule says anything")
		}
		if err == nil && *found != test.HealthStatus {
			err = fmt.Errorf("is %s (%s), not %s (%s)", found.Status, found.Message, test.HealthStatus.Status, test.HealthStatus.Message)
		}
		tell("health/"+within+"/"+test.InputPath, err)
	}
	return nil
}

func runActions(vm lua.VM, path, within string, tell func(string, error)) error {
	var tests actionTests
	if err := read(path, &tests); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	for _, test := range tests.DiscoveryTests {
		object, err := readObject(filepath.Join(folder, test.InputPath))
		if err != nil {
			return err
		}
		tell("discovery/"+within+"/"+test.InputPath, checkDiscovery(vm, object, test.Result))
	}
	for _, test := range tests.ActionTests {
		object, err := readObject(filepath.Join(folder, test.InputPath))
		if err != nil {
			return err
		}
		expected, err := os.ReadFile(filepath.Join(folder, test.ExpectedOutputPath))
		if err != nil {
			return err
		}
		tell("action/"+within+"/"+test.Action+"/"+test.InputPath, checkAction(vm, object, test.Action, expected))
	}
	return nil
}

// checkDiscovery compares the actions that are offered, in whatever order, and whether each can be used.
func checkDiscovery(vm lua.VM, object *unstructured.Unstructured, expected []v1alpha1.ResourceAction) error {
	scripts, err := vm.GetResourceActionDiscovery(object)
	if err != nil {
		return err
	}
	found, err := vm.ExecuteResourceActionDiscovery(object, scripts)
	if err != nil {
		return err
	}
	byName := func(actions []v1alpha1.ResourceAction) map[string]v1alpha1.ResourceAction {
		named := map[string]v1alpha1.ResourceAction{}
		for _, action := range actions {
			named[action.Name] = action
		}
		return named
	}
	has, wants := byName(found), byName(expected)
	if reflect.DeepEqual(has, wants) {
		return nil
	}
	return fmt.Errorf("offers %v, not %v (or with other attributes)", slices.Sorted(maps.Keys(has)), slices.Sorted(maps.Keys(wants)))
}

// checkAction compares the object that Argo CD would write with the expected one. The time of day in it is any.
func checkAction(vm lua.VM, object *unstructured.Unstructured, name string, expected []byte) error {
	action, err := vm.GetResourceAction(object, name)
	if err != nil {
		return err
	}
	impacted, err := vm.ExecuteResourceAction(object, action.ActionLua, nil)
	if err != nil {
		return err
	}
	if len(impacted) != 1 || impacted[0].K8SOperation != lua.PatchOperation {
		return fmt.Errorf("changes %d objects, not its own", len(impacted))
	}
	after, err := json.Marshal(impacted[0].UnstructuredObj)
	if err != nil {
		return err
	}
	var found, wanted map[string]any
	if err := json.Unmarshal(after, &found); err != nil {
		return err
	}
	if err := yaml.Unmarshal(expected, &wanted); err != nil {
		return err
	}
	if reflect.DeepEqual(anyTime(found), anyTime(wanted)) {
		return nil
	}
	return fmt.Errorf("would write %s", after)
}

// anyTime replaces every time of day by the word NOW.
func anyTime(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			value[key] = anyTime(inner)
		}
	case string:
		if len(value) == len("2026-01-02T03:04:05Z") && value[4] == '-' && value[10] == 'T' && strings.HasSuffix(value, "Z") {
			return "NOW"
		}
	}
	return value
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readObject(path string) (*unstructured.Unstructured, error) {
	object := map[string]any{}
	if err := read(path, &object); err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: object}, nil
}
