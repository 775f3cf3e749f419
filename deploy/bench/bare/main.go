// Command bare is the least that can serve the Functions host: net/http, and encoding/json for the payload's envelope. The
// benchmark measures a handler's cold start and its cost per invocation against it.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var invocation struct{ Data, Metadata map[string]json.RawMessage }
		if err := json.NewDecoder(r.Body).Decode(&invocation); err != nil && r.Method == http.MethodPost {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"Outputs":{},"Logs":[],"ReturnValue":null}`)
	})
	log.Fatal(http.ListenAndServe(net.JoinHostPort("127.0.0.1", os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT")), nil))
}
