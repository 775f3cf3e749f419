package customhandler_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// Greeting is what travels on the queue.
type Greeting struct {
	Name string `json:"name"`
}

func (Greeting) MessageVersion() int { return 1 }

// The whole main of an app: settings, clients, handlers, serve.
func ExampleMain() {
	customhandler.Main("greeter", func(environ []string) (customhandler.App, error) {
		var s settings.Common
		if err := settings.Load(&s, environ); err != nil {
			return customhandler.App{}, err // the app then runs in degraded mode and says so
		}
		account, err := storage.Open(s.Storage)
		if err != nil {
			return customhandler.App{}, err
		}
		queue := account.Queue("greetings")
		return customhandler.App{
			Storage:  account,
			State:    account.Container("greeter-state"),
			Secrets:  settings.Secrets(s),
			Settings: s,
			Functions: []customhandler.Function{
				customhandler.TimerFunc("plan", func(ctx context.Context, _ customhandler.Timer) error {
					body, err := customhandler.Encode(Greeting{Name: "night"})
					if err != nil {
						return err
					}
					if customhandler.Report(ctx, "greet night"); customhandler.DryRun(ctx) {
						return nil
					}
					_, err = queue.Enqueue(ctx, body, 0)
					return err
				}),
				customhandler.QueueFunc("greet", func(ctx context.Context, m customhandler.Message[Greeting]) error {
					if time.Now().Hour() > 6 {
						return fmt.Errorf("it is day: %w", customhandler.RetryAfter(time.Hour))
					}
					customhandler.Log(ctx).Info("good night", "name", m.Data.Name)
					return nil
				}),
			},
		}, nil
	})
}
