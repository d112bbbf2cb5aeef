package engine

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"reflect"
	"slices"
)

// fingerprint sums up all that an engine will ever act on: two engines with one fingerprint do the same from there on.
// What only counts what has been, and what is the same for all, is left out. Times count as they are. A timer is its
// moment and its function; what the function is about is part of the engine.
type fingerprint struct {
	h    maphash.Hash
	seen map[uintptr]uint64
}

// ignored are the fields that no decision depends on, or that are the same in all engines of a walk.
var ignored = map[string]bool{
	"Engine.cfg": true, "Engine.out": true, "Engine.minter": true, "Engine.tallies": true, "Engine.now": true,
	"timer.seq": true, "timers.seq": true, "pool.tally": true, "pool.share": true, "client.clock": true, "Settings.params": true,
	"Library.works": true,
}

func (f *fingerprint) number(n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	f.h.Write(b[:])
}

func (f *fingerprint) add(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			f.number(1)
		} else {
			f.number(0)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		f.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		f.number(v.Uint())
	case reflect.Float32, reflect.Float64:
		f.number(uint64(v.Float()))
	case reflect.String:
		f.number(uint64(v.Len()))
		f.h.WriteString(v.String())
	case reflect.Func:
		f.number(uint64(v.Pointer()))
	case reflect.Pointer:
		f.pointer(v)
	case reflect.Interface:
		if !v.IsNil() {
			f.add(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		f.list(v)
	case reflect.Map:
		f.table(v)
	case reflect.Struct:
		name := v.Type().Name()
		for i := range v.NumField() {
			if !ignored[name+"."+v.Type().Field(i).Name] {
				f.add(v.Field(i))
			}
		}
	default:
		panic(fmt.Sprintf("a %v is not known", v.Kind()))
	}
}

func (f *fingerprint) pointer(v reflect.Value) {
	if v.IsNil() {
		f.number(0)
		return
	}
	if n, again := f.seen[v.Pointer()]; again {
		f.number(n)
		return
	}
	f.seen[v.Pointer()] = uint64(len(f.seen) + 1)
	f.number(uint64(len(f.seen)))
	f.add(v.Elem())
}

func (f *fingerprint) list(v reflect.Value) {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		f.number(uint64(v.Len()))
		f.h.Write(v.Bytes())
		return
	}
	if v.Type().Name() == "timerHeap" { // in the order in which they are due, not that of the heap
		v = reflect.ValueOf(dueFirst(v))
	}
	f.number(uint64(v.Len()))
	for i := range v.Len() {
		f.add(v.Index(i))
	}
}

// due is a timer without its place among equals.
type due struct {
	at  int64
	run uintptr
}

func dueFirst(v reflect.Value) []due {
	var list []due
	for i := range v.Len() {
		t := v.Index(i)
		list = append(list, due{t.FieldByName("at").Int(), t.FieldByName("run").Pointer()})
	}
	slices.SortFunc(list, func(a, b due) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return int(a.run) - int(b.run)
	})
	return list
}

// table adds a map in the order of its keys.
func (f *fingerprint) table(v reflect.Value) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		x, y := fmt.Sprint(a), fmt.Sprint(b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	f.number(uint64(len(keys)))
	for _, k := range keys {
		f.add(k)
		f.add(v.MapIndex(k))
	}
}
