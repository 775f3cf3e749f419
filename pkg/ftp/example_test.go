package ftp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

// A connection breaks in the middle of a file; the download goes on where it stopped.
func Example() {
	ctx := context.Background()
	server, err := simftp.Start(simftp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Stop()
	if err := server.WriteFile("/hr/employees.csv", []byte("EmployeeID,Name\n1001,Ada\n"), time.Time{}); err != nil {
		log.Fatal(err)
	}
	server.Script(simftp.Fault{Command: "RETR", Times: 1, Kind: simftp.Die, After: 16})

	pool := ftp.NewPool(ftp.Config{
		Server:   server.Addr(),
		Username: "user",
		Password: settings.NewSecret("password"),
		Pin:      server.Pin(),
	}, 4)
	defer pool.Close()

	var content []byte
	for range 2 {
		conn, err := pool.Get(ctx)
		if err != nil {
			log.Fatal(err)
		}
		file, err := conn.Open(ctx, "/hr/employees.csv", int64(len(content)))
		if err != nil {
			log.Fatal(err)
		}
		part, err := io.ReadAll(file)
		pool.Put(conn, file.Close())
		content = append(content, part...)
		fmt.Printf("%d bytes, connection lost: %v\n", len(content), errors.Is(err, ftp.ErrLost))
	}
	fmt.Printf("%s", content)
	// Output:
	// 16 bytes, connection lost: true
	// 25 bytes, connection lost: false
	// EmployeeID,Name
	// 1001,Ada
}
