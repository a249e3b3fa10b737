// Command kstatus says what the library kstatus makes of objects, in its original and in the fork that Helm 4 and Flux
// wait by.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	fork "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// verdict is printed as a line of JSON for each object.
type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	// Fork is the status by the fork.
	Fork string `json:"fork"`
}

// main reads objects as JSON, one after another, from stdin.
func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	encoder := json.NewEncoder(out)
	for {
		var text json.RawMessage
		if err := decoder.Decode(&text); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(bytes.TrimSpace(text)); err != nil {
			return err
		}
		result, err := status.Compute(object)
		if err != nil {
			return err
		}
		forked, err := fork.Compute(object)
		if err != nil {
			return err
		}
		one := verdict{Status: result.Status.String(), Message: result.Message, Fork: forked.Status.String()}
		if err := encoder.Encode(one); err != nil {
			return err
		}
	}
}
