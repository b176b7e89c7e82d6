// What the tests run as a tenant's workload: a server that writes to its log for ever, one that crashes, and a client
// to try the network with.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const usage = `tenant serve        HTTP on $PORT (8080), a line on stdout every $LOG_EVERY_MS (100), until SIGTERM
tenant crash        two lines, then exit code 3
tenant get URL      the body of URL; exit code 1 when there is no answer within 2 s
tenant open ADDRESS connects to host:port; exit code 1 when that fails within 2 s`

func main() {
	mode := "help"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch {
	case mode == "serve":
		serve()
	case mode == "crash":
		fmt.Println("starting")
		fmt.Fprintln(os.Stderr, "cannot go on: this image is made to crash")
		os.Exit(3)
	case mode == "get" && len(os.Args) == 3:
		get(os.Args[2])
	case mode == "open" && len(os.Args) == 3:
		open(os.Args[2])
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
}

func serve() {
	var ready atomic.Bool
	ready.Store(true)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		host, _ := os.Hostname()
		fmt.Fprintf(answer, "%s %s\n", host, os.Getenv("MODE"))
	})
	mux.HandleFunc("/ready", func(answer http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			answer.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/set", func(_ http.ResponseWriter, request *http.Request) {
		ready.Store(request.FormValue("ready") != "0")
	})
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, request *http.Request) {
		os.Exit(number(request.FormValue("code"), 0))
	})
	mux.HandleFunc("/long", func(_ http.ResponseWriter, request *http.Request) {
		fmt.Println(strings.Repeat("x", number(request.FormValue("bytes"), 1)))
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _ = http.Serve(listener, mux) }()

	fmt.Println("listens on " + port)
	stop, done := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer done()
	tick := time.NewTicker(time.Duration(number(os.Getenv("LOG_EVERY_MS"), 100)) * time.Millisecond)
	for line := 1; ; line++ {
		select {
		case <-tick.C:
			fmt.Printf("line %d\n", line)
		case <-stop.Done():
			fmt.Println("asked to stop")
			return
		}
	}
}

func get(url string) {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(os.Stdout, answer.Body)
}

func open(address string) {
	connection, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = connection.Close()
	fmt.Println("open")
}

func number(text string, otherwise int) int {
	if number, err := strconv.Atoi(text); err == nil && number > 0 {
		return number
	}
	return otherwise
}
