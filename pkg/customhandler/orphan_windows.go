package customhandler

import (
	"os"

	"golang.org/x/sys/windows"
)

// watchParent closes the channel when the process that started this one is gone. Windows keeps the number of a dead parent,
// and may give it to another process: a handle, taken at the start, is the only sure sign.
func watchParent() <-chan struct{} {
	gone := make(chan struct{})
	parent, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(os.Getppid()))
	if err != nil {
		if err == windows.ERROR_INVALID_PARAMETER { // no such process: it is gone already
			close(gone)
		}
		return gone
	}
	go func() {
		defer windows.CloseHandle(parent)
		if event, err := windows.WaitForSingleObject(parent, windows.INFINITE); err == nil && event == windows.WAIT_OBJECT_0 {
			close(gone)
		}
	}()
	return gone
}
