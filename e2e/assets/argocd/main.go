// Command argocd holds the parts of Argo CD that the suites run and acts by the name it is called by.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	askpass "github.com/argoproj/argo-cd/v3/cmd/argocd-git-ask-pass/commands"
	repository "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	server "github.com/argoproj/argo-cd/v3/cmd/argocd-server/commands"
	"github.com/spf13/cobra"
)

func main() {
	var command *cobra.Command
	switch name := filepath.Base(os.Args[0]); name {
	case "argocd-application-controller":
		command = controller.NewCommand()
	case "argocd-repo-server":
		command = repository.NewCommand()
	case "argocd-server":
		command = server.NewCommand()
	case "argocd-git-ask-pass":
		command = askpass.NewCommand()
	case "argocd-rules":
		command = newRules()
	default:
		fmt.Fprintln(os.Stderr, "called by an unknown name:", name)
		os.Exit(2)
	}
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
}
