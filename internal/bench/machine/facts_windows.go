package machine

import (
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"github.com/gopherwood-dev/gopherwood/api"
)

// read asks the registry. The memory and the processor's turbo stay unknown.
func read() (api.BenchMachine, identity) {
	const (
		processor = `HARDWARE\DESCRIPTION\System\CentralProcessor\0`
		firmware  = `HARDWARE\DESCRIPTION\System\BIOS`
	)
	version := windows.RtlGetVersion()
	m := api.BenchMachine{
		Kernel:         fmt.Sprintf("%d.%d.%d", version.MajorVersion, version.MinorVersion, version.BuildNumber),
		CPU:            strings.TrimSpace(text(processor, "ProcessorNameString")),
		CPUs:           runtime.NumCPU(),
		Virtualization: hypervisor(text(firmware, "SystemManufacturer"), text(firmware, "SystemProductName")),
		Governor: schemes[strings.ToLower(
			text(`SYSTEM\CurrentControlSet\Control\Power\User\PowerSchemes`, "ActivePowerScheme"))],
		MHz: float64(number(processor, "~MHz")),
	}
	return m, identity{
		model:      text(processor, "Identifier"),
		processors: int(windows.GetActiveProcessorCount(windows.ALL_PROCESSOR_GROUPS)),
		instance:   text(`SOFTWARE\Microsoft\Cryptography`, "MachineGuid"),
	}
}

// schemes are names of power schemes by the GUIDs of WinNT.h.
var schemes = map[string]string{
	"381b4222-f694-41f0-9685-ff5bb260df2e": "balanced",
	"8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c": "high performance",
	"a1841308-3541-4fab-bc81-f71556f20b4a": "power saver",
}

// text returns a string of the registry's local machine, "" when there is none.
func text(path, name string) string {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer key.Close()
	s, _, err := key.GetStringValue(name)
	if err != nil {
		return ""
	}
	return s
}

// number returns a number of the registry's local machine, 0 when there is none.
func number(path, name string) uint64 {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.QUERY_VALUE)
	if err != nil {
		return 0
	}
	defer key.Close()
	n, _, err := key.GetIntegerValue(name)
	if err != nil {
		return 0
	}
	return n
}
