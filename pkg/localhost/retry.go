package localhost

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// retryPolicy is "retry" in function.json or host.json: tries in memory, before a queue's own redelivery.
type retryPolicy struct {
	max      int // -1: for ever
	min      time.Duration
	longest  time.Duration
	doubling bool
}

// retry reads a policy; nil when there is none.
func (r *configReader) retry(path string) *retryPolicy {
	v, ok := r.find(path)
	if !ok {
		return nil
	}
	p := &retryPolicy{max: r.number(0, -1, math.MaxInt32, path, "maxRetryCount")}
	switch strategy := r.text("", path, "strategy"); strategy {
	case "fixedDelay":
		p.min = r.duration(0, path, "delayInterval")
	case "exponentialBackoff":
		p.doubling = true
		p.min = r.duration(0, path, "minimumInterval")
		p.longest = r.duration(0, path, "maximumInterval")
	default:
		r.fail(v.Line, fmt.Sprintf(`%s.strategy must be "fixedDelay" or "exponentialBackoff", got %q`, path, strategy))
	}
	if p.min < 0 || p.doubling && p.longest < p.min {
		r.fail(v.Line, path+": the intervals must not be negative, and the minimum not above the maximum")
	}
	return p
}

// delay is the wait before try number try (1 is the first repeat).
func (p *retryPolicy) delay(try int) time.Duration {
	if !p.doubling || try == 1 {
		return p.min
	}
	return backoff(p.min, p.longest, try-1)
}

// backoff is the host's randomised exponential wait after n fruitless tries in a row.
func backoff(min, max time.Duration, n int) time.Duration {
	grown := float64(min) * (1 + (0.8+0.4*rand.Float64())*math.Pow(2, float64(n-1)))
	if grown >= float64(max) {
		return max
	}
	return time.Duration(grown)
}

// context is the RetryContext that the handler sees.
func (p *retryPolicy) context(function string, try int, last error) netjson.Value {
	return netjson.Obj(
		netjson.Member{Name: "RetryCount", Value: integer(try)},
		netjson.Member{Name: "MaxRetryCount", Value: integer(p.max)},
		netjson.Member{Name: "Exception", Value: exception(function, last)},
		netjson.Member{Name: "Instance"},
		netjson.Member{Name: "State", Value: netjson.Obj()},
	)
}

func integer(n int) netjson.Value {
	return netjson.Value{Kind: netjson.Integer, Text: fmt.Sprint(n)}
}

// exception is the part of the host's exception that a handler can use: which function failed, and why.
func exception(function string, err error) netjson.Value {
	if err == nil {
		return netjson.Value{}
	}
	return netjson.Obj(
		netjson.Member{Name: "MethodName", Value: netjson.Str("Host.Functions." + function)},
		netjson.Member{Name: "ClassName", Value: netjson.Str("Microsoft.Azure.WebJobs.Host.FunctionInvocationException")},
		netjson.Member{Name: "Message", Value: netjson.Str("Exception while executing function: Functions." + function)},
		netjson.Member{Name: "InnerException", Value: netjson.Obj(netjson.Member{Name: "Message", Value: netjson.Str(err.Error())})},
	)
}
