// Command webserver answers every HTTP request on a port, by the name and with the file of its process id that tests look
// for: it stands in for the web servers of upstream's images.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"syscall"
)

const (
	program = "/usr/sbin/nginx"
	title   = "nginx: master process"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: webserver PORT")
	}
	if os.Args[0] != title {
		log.Fatal(syscall.Exec(program, []string{title, os.Args[1]}, os.Environ()))
	}
	if err := os.WriteFile("/var/run/nginx.pid", fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		log.Print(err)
	}
	log.Print("httpd: listening on port ", os.Args[1]) // tests look for a name in the log
	log.Fatal(http.ListenAndServe(":"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "It works!")
		fmt.Println("httpd:", r.Method, r.URL.Path)
	})))
}
