// checkproofs checks what our service says of a log with Go's golang.org/x/mod/sumdb/note and sumdb/tlog, which we did not write:
// signed notes, inclusion and consistency proofs, and tiles. It reads one JSON object from stdin and prints what it has checked.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type proof struct {
	From, To, Position, Size int64
	FromRoot, ToRoot         string
	LeafHash, Root           string
	Hashes                   []string
}

type input struct {
	Key         string
	Notes       []string
	Inclusion   []proof
	Consistency []proof
	// By path, as C2SP tlog-tiles writes it: base64 of the tile's bytes.
	Tiles map[string]string
	// Size and root of the tree that the tiles are of.
	Size int64
	Root string
}

func hash(text string) (h tlog.Hash) {
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(bytes) != len(h) {
		fail("no hash: " + text)
	}
	copy(h[:], bytes)
	return h
}

func hashes(texts []string) (all []tlog.Hash) {
	for _, text := range texts {
		all = append(all, hash(text))
	}
	return all
}

func fail(message string) {
	fmt.Println("FAILED " + message)
	os.Exit(1)
}

func check(what string, err error) {
	if err != nil {
		fail(what + ": " + err.Error())
	}
}

// tiles reads the tiles that were given; tlog checks them against the root.
type tiles map[string]string

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range wanted {
		path := strings.TrimPrefix(tile.Path(), "tile/8/")
		encoded, ok := t[path]
		if !ok {
			return nil, fmt.Errorf("no tile %s", path)
		}
		bytes, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

func main() {
	var in input
	check("stdin", json.NewDecoder(os.Stdin).Decode(&in))
	verifier, err := note.NewVerifier(in.Key)
	check("key", err)
	for _, text := range in.Notes {
		opened, err := note.Open([]byte(text), note.VerifierList(verifier))
		check("note", err)
		lines := strings.Split(opened.Text, "\n")
		if _, err := strconv.ParseInt(lines[1], 10, 64); err != nil || len(lines) != 4 {
			fail("no checkpoint: " + opened.Text)
		}
	}
	for _, p := range in.Inclusion {
		check(fmt.Sprintf("inclusion of %d in %d", p.Position, p.Size),
			tlog.CheckRecord(hashes(p.Hashes), p.Size, hash(p.Root), p.Position-1, hash(p.LeafHash)))
	}
	for _, p := range in.Consistency {
		check(fmt.Sprintf("consistency of %d and %d", p.From, p.To),
			tlog.CheckTree(hashes(p.Hashes), p.To, hash(p.ToRoot), p.From, hash(p.FromRoot)))
	}
	read := 0
	if len(in.Tiles) > 0 {
		tree := tlog.Tree{N: in.Size, Hash: hash(in.Root)}
		reader := tlog.TileHashReader(tree, tiles(in.Tiles))
		for n := int64(0); n < in.Size; n += 1 + in.Size/97 {
			made, err := tlog.ProveRecord(in.Size, n, reader)
			check(fmt.Sprintf("tiles for record %d", n), err)
			leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
			check("leaf", err)
			check("record by tiles", tlog.CheckRecord(made, in.Size, tree.Hash, n, leaf[0]))
			read++
		}
	}
	fmt.Printf("notes %d, inclusion %d, consistency %d, by tiles %d\n", len(in.Notes), len(in.Inclusion), len(in.Consistency), read)
}
